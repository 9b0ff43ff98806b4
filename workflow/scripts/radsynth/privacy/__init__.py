"""What can be told of the training images from pools and generators: attacks, and how well they do."""
