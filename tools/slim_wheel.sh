#!/bin/sh
# Repack a wheel without weights, which then come from the Hub: tools/slim_wheel.sh WHEEL FOLDER
# Needs the Python package `wheel`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -m wheel unpack --dest "$work" "$1"
rm "$work"/*/zoo/model_cards/*.safetensors
python -m wheel pack --dest-dir "$2" "$work"/*
