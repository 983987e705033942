"""Where a CLIP comes from: short names, the hub, folders and files, its family, its tokenizer and its transform."""
