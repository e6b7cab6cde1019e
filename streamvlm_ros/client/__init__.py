# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A client of the node: services, goals and status. It needs no torch."""
