# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The KV cache: slots, entries, contexts, eviction, capacity and snapshots."""
