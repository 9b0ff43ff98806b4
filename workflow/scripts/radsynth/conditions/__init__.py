"""What is told of images and asked of new ones: labels, attributes, lesions, in numbers and as distributions."""
