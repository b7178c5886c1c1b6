"""From one kind of picture to another: translators, trained on pairs (pix2pix) or without (CycleGAN)."""
