"""How a name becomes a caption, and the plain words that the tokenizer should know beyond the names."""

import numpy as np

# The first is the one that prompts start from, so every third caption uses it; the others share the rest evenly.
TEMPLATES = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a photo of a {}",
    "a photo of one {}.",
    "a picture of a {}.",
    "a picture of the {}",
    "an image of a {}.",
    "an image of the {}",
    "a drawing of a {}.",
    "a drawing of the {}",
    "a sketch of a {}.",
    "a painting of a {}.",
    "a rendering of a {}.",
    "a blurry photo of a {}.",
    "a blurry picture of the {}.",
    "a bad photo of a {}.",
    "a good photo of the {}.",
    "a low resolution photo of a {}.",
    "a pixelated photo of a {}.",
    "a close-up photo of a {}.",
    "a cropped photo of the {}.",
    "a dark photo of a {}.",
    "a bright photo of the {}.",
    "a black and white photo of a {}.",
    "a photo of a small {}.",
    "a photo of a large {}.",
    "itap of a {}.",
    "itap of the {}.",
    "this is a {}.",
    "this is a photo of a {}, a type of sign.",
    "there is a {} in the picture.",
    "a {} on a plain background.",
    "a centered picture of a {}, as it is seen from the front.",
    "i took this small picture of a {} with an old camera, and it is not sharp.",
    "the {}",
    "the {}.",
    "a {}",
    "a {}.",
    "one {}",
    "{}",
    "{}.",
    "handwritten {}",
    "a handwritten {}.",
    "a printed {}.",
    "a sign: {}",
    "it's a {}!",
)
FIRST_SHARE, USUAL_NAME_SHARE = 0.33, 0.4

WORDS = ["animal", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "mouse", "monkey", "fish", "whale", "shark", "snake", "frog", "insect", "bee", "butterfly", "spider", "plant", "tree", "flower", "rose", "daisy", "sunflower", "grass", "leaf", "fruit", "apple", "banana", "orange", "lemon", "grape", "vegetable", "carrot", "potato", "tomato", "food", "bread", "cheese", "pizza", "cake", "cookie", "sandwich", "soup", "rice", "coffee", "tea", "water", "milk", "wine", "car", "truck", "bus", "train", "bicycle", "motorcycle", "airplane", "aircraft", "boat", "ship", "rocket", "wheel", "road", "street", "bridge", "building", "house", "home", "church", "castle", "tower", "window", "door", "room", "kitchen", "bathroom", "chair", "table", "sofa", "bed", "lamp", "clock", "book", "computer", "keyboard", "screen", "phone", "telephone", "camera", "television", "radio", "guitar", "piano", "violin", "drum", "music", "ball", "bat", "racket", "glove", "shoe", "boot", "hat", "shirt", "dress", "coat", "pants", "sock", "bag", "box", "bottle", "cup", "glass", "plate", "bowl", "knife", "fork", "spoon", "hammer", "saw", "screwdriver", "axe", "tool", "machine", "engine", "robot", "person", "man", "woman", "boy", "girl", "child", "baby", "face", "hand", "foot", "head", "eye", "ear", "nose", "mouth", "hair", "people", "crowd", "family", "friend", "doctor", "teacher", "worker", "player", "sun", "moon", "star", "sky", "cloud", "rain", "snow", "storm", "lightning", "wind", "mountain", "hill", "river", "lake", "sea", "ocean", "beach", "island", "forest", "field", "desert", "garden", "park", "farm", "city", "town", "village", "country", "world", "map", "flag", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "gray", "grey", "cyan", "magenta", "gold", "silver", "light", "dark", "bright", "small", "large", "big", "tiny", "huge", "long", "short", "tall", "wide", "narrow", "thick", "thin", "old", "new", "young", "good", "bad", "happy", "sad", "angry", "fast", "slow", "hot", "cold", "warm", "cool", "wet", "dry", "clean", "dirty", "empty", "full", "open", "closed", "round", "square", "flat", "sharp", "soft", "hard", "smooth", "rough", "striped", "dotted", "checkered", "hollow", "solid", "plain", "textured", "colorful", "photo", "picture", "image", "drawing", "painting", "sketch", "rendering", "sculpture", "origami", "cartoon", "toy", "texture", "satellite", "centered", "type", "kind", "class", "category", "object", "thing", "scene", "view", "front", "back", "left", "right", "top", "bottom", "middle", "center", "corner", "side", "inside", "outside", "above", "below", "near", "far", "with", "without", "and", "or", "not", "of", "the", "in", "on", "at", "from", "to", "by", "for", "as", "is", "are", "was", "were", "be", "been", "this", "that", "these", "those", "it", "its", "he", "she", "they", "we", "you", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "hundred", "thousand", "first", "second", "third", "last", "many", "few", "some", "all", "very", "more", "most", "less", "least", "running", "jumping", "sitting", "standing", "walking", "flying", "swimming", "eating", "drinking", "playing", "reading", "writing", "sleeping", "looking", "smiling", "holding", "wearing", "forest", "pasture", "residential", "highway", "industrial", "annual", "permanent", "crop"]


def choose_name(names: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of a picture's names; the first more often than the others."""
    return names[0] if rng.random() < USUAL_NAME_SHARE else names[rng.integers(len(names))]


def caption(name: str, rng: np.random.Generator) -> str:
    """The name in one of the templates."""
    if rng.random() < FIRST_SHARE:
        return TEMPLATES[0].format(name)
    return TEMPLATES[rng.integers(len(TEMPLATES))].format(name)
