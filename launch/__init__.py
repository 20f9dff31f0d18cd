"""TorchX components, one a file: `torchx run launch/search.py`."""
