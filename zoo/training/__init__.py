"""Training: a typed config in, checkpoints that resume and safetensors out."""
