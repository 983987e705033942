"""Files to tensors by name: safetensors, archives of torch.save and TorchScript, shards. Knows no CLIP."""

from cocoop.weights.read import Weights, read_weights

__all__ = ["Weights", "read_weights"]
