"""fastnn.utils: data loading, checkpointing, TensorBoard, hook handles.

Invariant: submodules that need another package (tensorboard) are imported only when asked for. Does not: hold code.
Read next: data/__init__.py.
"""
