# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""`make docs`: writes docs/interfaces.md out of what the interfaces and parameters say."""
