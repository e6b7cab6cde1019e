# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""For tools that still call setup.py; pyproject.toml has everything."""

from setuptools import setup

setup()
