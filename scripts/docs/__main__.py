# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/interfaces.md, and the picture in docs/design/rooms.md."""

from __future__ import annotations

from scripts.docs import page, rooms
from scripts.house import House, ROOT

if __name__ == '__main__':
    page.PAGE.write_text(page.interface_page(), encoding='utf-8')
    rooms.PAGE.write_text(rooms.rooms_page(House.read(ROOT)), encoding='utf-8')
