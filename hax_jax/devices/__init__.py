"""The machine: its devices as a mesh, and the settings that JAX and malloc need first.

A program calls `runtime.start`, then makes its mesh (mesh.py), the only place that
decides which part of an array lies on which device. Start reading at mesh.py.
"""
