"""TensorFlow and TFDS, quiet and without the GPU; import it late, because it is slow.

They compute nothing here, and JAX needs the GPU's memory.
"""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')  # errors only
# When it is on, TensorFlow says so in four lines.
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')

import tensorflow as tf
import tensorflow_datasets as tfds

tf.config.set_visible_devices([], 'GPU')

__all__ = ['tf', 'tfds']
