"""TensorFlow and TFDS with few words and without the GPU; slow, so import it late.

Nothing is computed by them here: the GPU's memory is JAX's.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # errors only
# When it is on, TensorFlow says so in four lines.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import tensorflow as tf
import tensorflow_datasets as tfds

tf.config.set_visible_devices([], 'GPU')

__all__ = ['tf', 'tfds']
