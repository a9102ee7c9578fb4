"""fastnn.backends: flags that scripts set and read, and answers to "is it there".

Invariant: flags are stored and change nothing; only the CPU is there. Does not: choose kernels (FASTNN_ISA and
FASTNN_BLAS do).
Read next: cuda.py.
"""

from . import cpu as cpu
from . import cuda as cuda
from . import cudnn as cudnn
from . import mkl as mkl
from . import mkldnn as mkldnn
from . import mps as mps
from . import openmp as openmp
