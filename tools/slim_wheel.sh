#!/bin/sh
# Repack a wheel without weights and pictures, which the Hub has: tools/slim_wheel.sh WHEEL FOLDER
# Needs the Python package `wheel`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m wheel unpack --dest "$work" "$1"
rm "$work"/*/zoo/model_cards/*.safetensors "$work"/*/zoo/model_cards/*.png
mkdir -p "$2"
python -m wheel pack --dest-dir "$2" "$work"/*
