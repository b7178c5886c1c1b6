"""Variational autoencoders: pictures as points of a latent space, and back."""
