#!/bin/bash
# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Trains the embedded model on from its present weights with scenes that are cut and fall out of
# memory, and takes a quick look at the result:
# training/evict.sh OUT [MINUTES [CLIPS [WORKERS [further arguments of training.train]]]].
# 4.5 minutes of training and 1.5 of looking on an H100 with 16 cores.
set -u
out=$1 minutes=${2:-4.5} clips=${3:-64} workers=${4:-14}
python=${PYTHON:-python3}
work=$(mktemp -d)
began=$SECONDS
mkdir -p "$out"
export OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1

"$python" -m training.train --begin-with streamvlm_ros/models/tiny --out "$work" \
    --minutes "$minutes" --rate 8e-4 --clips "$clips" --reels 0.7 --workers "$workers" \
    --questions "${QUESTIONS:-24}" --longest "${LONGEST:-120}" "${@:5}" 2>&1 | tail -n 30
cp "$work/model.safetensors" "$work/curve.csv" "$out"
echo "trained: $((SECONDS - began)) s"

# The engine on the processor, the packed clips on the GPU, at once.
"$python" -m benchmark.memory.day_check --model "$work" --out "$out/day_check.json" \
    --processes "${PIECES:-11}" --scenes "${SCENES:-80}" 2>&1 | tail -n 3 &
"$python" -m training.evaluate --model "$work" --out "$out" --clips "${HELD_OUT:-200}" \
    --workers "${READERS:-5}" --variations append 'third scene' \
    'third scene, positions counted anew' 'third scene of 30 s at 4 fps' 2>&1 | tail -n 6
wait
echo "all: $((SECONDS - began)) s"
ls -l "$out"
