"""The commands of `zoo`, a function each; what they do lies elsewhere, imported when they run."""
