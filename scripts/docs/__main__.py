# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/interfaces.md."""

from __future__ import annotations

from scripts.docs.page import interface_page, PAGE

if __name__ == '__main__':
    PAGE.write_text(interface_page(), encoding='utf-8')
