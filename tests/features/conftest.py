from hypothesis import settings

from features.compiler import JIT

# The first call of a kernel compiles it, which no deadline allows for. Uncompiled it is a
# hundred times slower, and a few examples say that it runs and agrees.
settings.register_profile("kernels", deadline=None, max_examples=100 if JIT else 10)
settings.load_profile("kernels")
