"""The image side f(.): vision transformer and ResNet, both frozen, and the transforms from a picture to pixels."""
