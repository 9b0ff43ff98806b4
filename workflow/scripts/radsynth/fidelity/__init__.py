"""Whether the images of a pool show what was asked of them, beside real images and chance."""
