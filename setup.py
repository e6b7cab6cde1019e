# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Installs the engine without ROS: pip install . (with ROS, colcon builds CMakeLists.txt)."""

from setuptools import find_packages, setup

setup(
    name='streamvlm_ros',
    version='0.1.0',
    description='Streaming video question answering: the frames are in the cache when you ask',
    author='The streamvlm_ros authors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=find_packages(include=['streamvlm_ros', 'streamvlm_ros.*']),
    package_data={'streamvlm_ros': ['py.typed', 'models/tiny/*']},
    install_requires=[
        'numpy',
        'opencv-python-headless',
        'rosbags',
        'safetensors',
        'torch>=2.11,<2.14',
        'transformers>=5.17,<5.24',
    ],
    extras_require={
        'large': ['accelerate'],  # models larger than one accelerator
        'quantization': ['torchao>=0.18,<0.19'],
    },
    entry_points={'console_scripts': ['streamvlm = streamvlm_ros.cli.main:command']},
)
