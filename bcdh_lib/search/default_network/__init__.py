"""The network that `bcdh index` uses without --model, in model.safetensors and model.json here."""
