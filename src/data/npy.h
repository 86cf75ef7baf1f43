/* .npy files (NumPy's format: numpy.lib.format). Reads versions 1.0, 2.0 and 3.0, both element
 * orders (Fortran order is turned into C order), little endian. Writes version 1.0, C order.
 *
 * Types: f2 f4 f8, i1 … i8, u1 … u8, b1. bf16 has no code there: writing one is an error. Nothing
 * in a header is believed before it has been compared with the size of the file; messages say at
 * which byte a file is wrong. A file is written under a temporary name and renamed when complete.
 */
#ifndef KB_DATA_NPY_H
#define KB_DATA_NPY_H

#include "data/array.h"

int kb_npy_read(const char *path, kb_array **out, kb_err *err);
int kb_npy_write(const char *path, const kb_array *array, kb_err *err);

#endif
