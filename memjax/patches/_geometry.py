"""Where the patches of an image lie: static sizes."""

from typing import NamedTuple


class Geometry(NamedTuple):
    """Square patches on a grid of positions.

    image    (height, width, channels); a flat image has them in this order, channels last
    size     side of a patch, pixels
    stride   from one position to the next, pixels; what is left over at the right and at the bottom is not looked at
    padding  zero pixels around the image
    pool     (rows, columns) of the grid whose cells positions are summed over
    """

    image: tuple[int, int, int]
    size: int = 6
    stride: int = 2
    padding: int = 0
    pool: tuple[int, int] = (4, 4)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width with the padding."""
        return self.image[0] + 2 * self.padding, self.image[1] + 2 * self.padding

    @property
    def positions(self) -> tuple[int, int]:
        """Rows and columns of positions."""
        height, width = self.padded
        return (height - self.size) // self.stride + 1, (width - self.size) // self.stride + 1

    @property
    def n_pixels(self) -> int:
        """Length of a flat image."""
        return self.image[0] * self.image[1] * self.image[2]

    @property
    def n_inputs(self) -> int:
        """Pixels of a patch: the word lines of the array."""
        return self.size**2 * self.image[2]

    def n_features(self, filters: int) -> int:
        """Features of an image under so many filters."""
        return self.pool[0] * self.pool[1] * filters

    def cells(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return where the cells of the pooling grid begin and end, down and across: as equal as whole positions go."""
        rows, columns = (
            tuple(round(k * n / g) for k in range(g + 1)) for n, g in zip(self.positions, self.pool, strict=True)
        )
        return rows, columns

    def check(self) -> None:
        """Raise ValueError for sizes that are not positive, or a patch or a grid that does not fit."""
        if len(self.image) != 3 or min(*self.image, self.size, self.stride, *self.pool) < 1 or self.padding < 0:
            raise ValueError(
                f"patches: {self}: accepted are (height, width, channels), sizes of at least 1 and padding of at "
                "least 0"
            )
        if self.size > min(self.padded):
            raise ValueError(
                f"patches: size = {self.size} does not fit an image of {self.padded} pixels with its padding: "
                f"accepted is at most {min(self.padded)}"
            )
        if self.pool[0] > self.positions[0] or self.pool[1] > self.positions[1]:
            raise ValueError(
                f"patches: pool = {self.pool} has more cells than there are positions, {self.positions}: accepted is "
                "at most those"
            )
