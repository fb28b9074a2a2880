"""How well does a prediction match a head? Contract, IoU, descriptors, and the workers that compute them."""
