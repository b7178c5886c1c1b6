"""Variational autoencoders: pictures as points of a space in which they can be changed."""
