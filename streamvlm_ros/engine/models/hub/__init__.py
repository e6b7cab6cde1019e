# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Models fetched from the Hugging Face hub: looked at first, then downloaded."""
