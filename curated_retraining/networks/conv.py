"""3×3 convolutions whose gradients are fast inside loops on CPUs too."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype
from jax import Array, lax
from jax.typing import DTypeLike


class Conv(nn.Module):
    """A 3×3 convolution with a bias, `[n, h, w, c] -> [n, h, w, out]`, zeros beyond the border.

    It computes in `dtype` (that of `x` and the parameters where None) from parameters of float32.
    """

    out: int
    kernel_init: nn.initializers.Initializer = nn.initializers.he_normal()
    dtype: DTypeLike | None = None

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1], self.out))
        bias = self.param("bias", nn.initializers.zeros, (self.out,))
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        return self.apply_kernel(x, kernel) + bias[None, None, None]

    @nn.nowrap
    def apply_kernel(self, x: Array, kernel: Array) -> Array:
        """The convolution itself."""
        return convolve(x, kernel)


class UpConv(Conv):
    """`Conv` of an image in which each pixel was doubled both ways: `[n, h, w, c] -> [n, 2h, 2w, out]`."""

    @nn.nowrap
    def apply_kernel(self, x: Array, kernel: Array) -> Array:
        """The convolution of the doubled image."""
        return convolve_doubled(x, kernel)


def convolve(x: Array, kernel: Array) -> Array:
    """Cross-correlation of `x` `[n, h, w, c]` with a `kernel` `[k, k, c, out]`, ⌊k / 2⌋ zeros beyond each border.

    `[n, h, w, out]` where k is odd, `[n, h + 1, w + 1, out]` where it is even.
    """
    return _small(x, kernel) if max(x.shape[1:3]) <= 2 else _large(x, kernel)


def _small(x, kernel):
    """All pixels against all pixels: where most taps fall beyond the border, one matrix product costs less."""
    n, h, w, c = x.shape
    rows, columns = (_taps(side, size) for side, size in zip((h, w), kernel.shape[:2], strict=True))
    matrix = jnp.einsum("aip,bjq,pqco->abcijo", *(jnp.asarray(t, kernel.dtype) for t in (rows, columns)), kernel)
    return (x.reshape(n, -1) @ matrix.reshape(h * w * c, -1)).reshape(n, rows.shape[1], columns.shape[1], -1)


def _taps(side, size):
    """Whether pixel a of x meets tap p of the kernel in pixel i of the result: `[side, side or side + 1, size]`."""
    a, i, p = np.ogrid[:side, : side + 1 - size % 2, :size]
    return a == i + p - size // 2


@jax.custom_vjp
def _large(x: Array, kernel: Array) -> Array:
    """`convolve` of images larger than two pixels.

    XLA:CPU runs a convolution by its fast library only where the dimensions come in the order of this one. Outside
    loops it reorders the two convolutions of the gradient by itself, within `lax.scan` it does not and takes up to 50
    times as long; so on a CPU they are written in that order here. Other backends take the gradient of their own.
    """
    return _convolution(x, kernel)


def convolve_doubled(x: Array, kernel: Array) -> Array:
    """`convolve` of `x` with each pixel doubled both ways and a 3×3 kernel, at 4/9 of the products.

    Of the three rows that a row of the result reads, two are the same row of `x`: so a kernel of two rows will do, one
    for the even and another for the odd rows of the result, and as much for columns.
    """
    n, h, w, _ = x.shape
    out = kernel.shape[-1]
    halves = jnp.asarray(HALVES, kernel.dtype)
    both = jnp.einsum("aip,bjq,pqco->ijcabo", halves, halves, kernel).reshape(2, 2, -1, 4 * out)
    each = convolve(x, both).reshape(n, h + 1, w + 1, 2, 2, out)
    rows = [jnp.stack([each[:, a : h + a, b : w + b, a, b] for b in (0, 1)], axis=3) for a in (0, 1)]
    return jnp.stack(rows, axis=2).reshape(n, 2 * h, 2 * w, out)


HALVES = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]])  # [odd row?, row of x, row of the kernel]


def _forward(x, kernel):
    return _large(x, kernel), (x, kernel)


def _backward(residuals, slope):
    return lax.platform_dependent(*residuals, slope, cpu=_ordered_gradient, default=_gradient)


_large.defvjp(_forward, _backward)


def _convolution(x, kernel):
    return _correlate(x, kernel, [size // 2 for size in kernel.shape[:2]])


def _gradient(x, kernel, slope):
    return jax.vjp(_convolution, x, kernel)[1](slope)


def _ordered_gradient(x, kernel, slope):
    turned = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2))
    before, after = zip(*((size // 2, (size - 1) // 2) for size in kernel.shape[:2]), strict=True)
    if x.shape[-1] <= slope.shape[-1]:
        of_kernel = _summed_products(x, slope, before).transpose(1, 2, 0, 3)
    else:
        of_kernel = jnp.flip(_summed_products(slope, x, after), (1, 2)).transpose(1, 2, 3, 0)
    return _correlate(slope, turned, after), of_kernel


def _summed_products(one, other, border):
    """Of `[n, h, w, a]` and `[n, h, w, b]` at each offset within `border`, `[a, offset, offset, b]`; faster if a <= b.

    The barriers keep XLA from folding the transposes back into the convolution, whose examples are the channels of one.
    """
    rows = lax.optimization_barrier(one.transpose(3, 1, 2, 0))
    return _correlate(rows, lax.optimization_barrier(other.transpose(1, 2, 0, 3)), border)


def _correlate(x, kernel, border):
    """XLA turns a convolution round, into a slow one, where the kernel is larger than the image without its border."""
    both = [(side, side) for side in border]
    if any(size > side for size, side in zip(kernel.shape[:2], x.shape[1:3], strict=True)):
        x, both = lax.optimization_barrier(jnp.pad(x, [(0, 0), *both, (0, 0)])), [(0, 0), (0, 0)]
    return lax.conv_general_dilated(x, kernel, (1, 1), both, dimension_numbers=("NHWC", "HWIO", "NHWC"))
