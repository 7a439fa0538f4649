"""What was appended, as bytes or as a view, is read back from anywhere."""

import random

import numpy as np

from data_pipeline.all_pairs import appended_file


def test_parts_are_read_across_what_was_written_and_what_was_mapped() -> None:
    chance = random.Random(0)
    file = appended_file.AppendedFile(None)
    whole, starts, counts = b'', [], []
    for step in range(60):
        count = chance.randrange(5)
        data = chance.randbytes(8 * count)
        is_view = chance.random() < 0.5
        start = file.append(memoryview(data) if is_view else data)
        assert start == len(whole)
        whole += data
        starts.append(start // 8)
        counts.append(count)
        assert file.read(start, len(data)) == data
        assert file.read(start + 8 * (count > 0), 8 * max(count - 1, 0)) == data[8:]
        chosen = [i for i in range(step + 1) if chance.random() < 0.7]
        found = file.ranges(np.array(starts)[chosen], np.array(counts)[chosen])
        wanted = b''.join(
            whole[8 * starts[i] : 8 * (starts[i] + counts[i])] for i in chosen
        )
        assert found.tobytes() == wanted
    file.close()


def test_a_view_is_not_copied() -> None:
    data = np.arange(4, dtype=np.uint64)
    file = appended_file.AppendedFile(None)
    file.append(data.data.cast('B'))
    data[1] = 9
    assert file.ranges(np.array([1]), np.array([2])).tolist() == [9, 2]
