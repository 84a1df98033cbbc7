// C = alpha A B + bias, for every matrix of a batch, with any strides: operands are packed into panels first, so a transposed matrix costs no
// more than another. Each element of C is summed in the order of K, in pieces of a fixed size: the same bits on any number of threads.
#include <algorithm>
#include <array>

#include "../error.h"
#include "program.h"

namespace parscale {
namespace {

constexpr size_t mostBatchAxes = 6;
// Inputs of a product at a time: a panel of B of so many rows stays in the first cache.
constexpr size_t depth = 256;
// Rows of C that a thread takes at a time.
constexpr size_t rowsOfItem = 64;
constexpr size_t columnsOfItem = 512;

struct Matrix2 {
  Place place;
  size_t rowStride = 0, columnStride = 0;
  std::array<size_t, mostBatchAxes> strides{};
};

size_t roundUp(size_t n, size_t to) { return (n + to - 1) / to * to; }

// A part of a matrix that will be packed soon, asked for line by line beside products: packing itself would wait for each.
class Ahead {
 public:
  Ahead() = default;
  Ahead(const float* from, const Matrix2& m, size_t rows, size_t columns) : at_(reinterpret_cast<const char*>(from)) {
    const bool byRows = m.columnStride == 1;
    if (!byRows && m.rowStride != 1) return;
    runs_ = byRows ? rows : columns;
    bytes_ = (byRows ? columns : rows) * sizeof(float);
    step_ = (byRows ? m.rowStride : m.columnStride) * sizeof(float);
  }
  size_t lines() const { return runs_ * ((bytes_ + line - 1) / line); }
  void ask(size_t lines) {
    for (; lines > 0 && runs_ > 0; lines--) {
      __builtin_prefetch(at_ + done_, 0, 2);
      done_ += line;
      if (done_ < bytes_) continue;
      done_ = 0;
      at_ += step_;
      runs_--;
    }
  }

 private:
  static constexpr size_t line = 64;
  const char* at_ = nullptr;
  size_t runs_ = 0, bytes_ = 0, step_ = 0, done_ = 0;
};

struct Product : Step {
  size_t M, N, K;
  float alpha;
  size_t batchAxes, batch = 1;
  std::array<size_t, mostBatchAxes> dims{};
  Matrix2 a, b, c, bias;
  bool hasBias;

  const float* base(const Run& run, const Matrix2& m, size_t item) const { return run.at<const float>(m.place) + offset(m, item); }
  size_t offset(const Matrix2& m, size_t item) const {
    size_t at = 0;
    for (size_t axis = batchAxes; axis-- > 0; item /= dims[axis]) at += item % dims[axis] * m.strides[axis];
    return at;
  }

  size_t depthOf(const GraphKernels& k) const { return roundUp(K, k.depthStep); }
  size_t packedB(const GraphKernels& k) const { return roundUp(N, k.tileColumns) * depthOf(k); }

  void packColumns(const Run& run, const float* from, size_t panel, float* packed) const {
    const size_t NR = run.kernels.tileColumns, first = panel * NR;
    run.kernels.packColumns(from + first * b.columnStride, b.columnStride, b.rowStride, std::min(NR, N - first), K, packed + first * depthOf(run.kernels));
  }

  // What of A is packed after rows [from, to) from input k on: their next inputs, or the next rows.
  Ahead after(const float* A, size_t from, size_t to, size_t k) const {
    if (k + depth < K) return {A + from * a.rowStride + (k + depth) * a.columnStride, a, to - from, std::min(depth, K - k - depth)};
    if (to < M) return {A + to * a.rowStride, a, std::min(rowsOfItem, M - to), std::min(depth, K)};
    return {};
  }

  // Rows [from, to) and columns [first, last) of one C.
  void compute(const Run& run, size_t item, const float* packed, size_t from, size_t to, size_t first, size_t last, float* room) const {
    const GraphKernels& kernels = run.kernels;
    const size_t MR = kernels.tileRows, NR = kernels.tileColumns;
    const float* A = base(run, a, item);
    const float* extra = hasBias ? base(run, bias, item) : nullptr;
    float* C = const_cast<float*>(base(run, c, item));
    float* tile = room;
    float* line = tile + MR * NR;
    float* panels = line + NR;
    const size_t whole = depthOf(kernels);
    for (size_t k = 0; k < K; k += depth) {
      const size_t given = std::min(depth, K - k), count = roundUp(given, kernels.depthStep);
      for (size_t i = from; i < to; i += MR)
        kernels.packRows(A + i * a.rowStride + k * a.columnStride, a.rowStride, a.columnStride, std::min(MR, to - i), given, panels + (i - from) * count);
      Ahead ahead = after(A, from, to, k);
      const size_t share = (ahead.lines() * MR * NR) / ((to - from) * (last - first)) + 1;
      for (size_t j = first; j < last; j += NR) {
        const float* B = packed + j * whole + k * NR;
        const size_t columns = std::min(NR, last - j);
        for (size_t i = from; i < to; i += MR) {
          const size_t rows = std::min(MR, to - i);
          ahead.ask(share);
          float* out = C + i * c.rowStride + j;
          if (rows == MR && columns == NR && alpha == 1 && !(k == 0 && extra)) {
            kernels.product(panels + (i - from) * count, B, count, k > 0, out, c.rowStride);
            continue;
          }
          kernels.product(panels + (i - from) * count, B, count, false, tile, NR);
          if (k > 0 || !extra) {
            kernels.scaleOnto(tile, alpha, k > 0 ? out : nullptr, c.rowStride, {rows, columns}, out, c.rowStride);
            continue;
          }
          const float* onto = extra + i * bias.rowStride + j * bias.columnStride;
          if (bias.columnStride == 1) {
            kernels.scaleOnto(tile, alpha, onto, bias.rowStride, {rows, columns}, out, c.rowStride);
            continue;
          }
          for (size_t r = 0; r < rows; r++) {
            for (size_t n = 0; n < columns; n++) line[n] = onto[r * bias.rowStride + n * bias.columnStride];
            kernels.scaleOnto(tile + r * NR, alpha, line, 0, {1, columns}, out + r * c.rowStride, c.rowStride);
          }
        }
      }
    }
  }

  // So few numbers that packing them would be most of the work.
  bool small() const { return batch > 1 && M * N * K <= 4096 && std::min({M, N, K}) <= 4; }

  void computeSmall(const Run& run, size_t item) const {
    const float *A = base(run, a, item), *B = base(run, b, item), *extra = hasBias ? base(run, bias, item) : nullptr;
    float* C = const_cast<float*>(base(run, c, item));
    for (size_t i = 0; i < M; i++, C += c.rowStride) {
      const float* row = A + i * a.rowStride;
      if (b.columnStride == 1) {
        std::fill_n(C, N, 0.f);
        for (size_t k = 0; k < K; k++) {
          const float x = row[k * a.columnStride];
          const float* y = B + k * b.rowStride;
          for (size_t j = 0; j < N; j++) C[j] += x * y[j];
        }
      } else {
        for (size_t j = 0; j < N; j++) {
          const float* y = B + j * b.columnStride;
          float sum = 0;
          for (size_t k = 0; k < K; k++) sum += row[k * a.columnStride] * y[k * b.rowStride];
          C[j] = sum;
        }
      }
      if (alpha == 1 && !extra) continue;
      for (size_t j = 0; j < N; j++) C[j] = alpha * C[j] + (extra ? extra[i * bias.rowStride + j * bias.columnStride] : 0);
    }
  }

  size_t ownFloats(const GraphKernels& k) const override { return packedB(k) * (batch > 1) + room(k); }
  size_t sharedFloats(const GraphKernels& k) const override { return packedB(k); }

  size_t room(const GraphKernels& k) const { return k.tileRows * k.tileColumns + roundUp(k.tileColumns, 16) + roundUp(rowsOfItem, k.tileRows) * depth; }

  void run(const Run& run) const override {
    const size_t NR = run.kernels.tileColumns, panels = roundUp(N, NR) / NR;
    const size_t rowItems = (M + rowsOfItem - 1) / rowsOfItem, columnItems = (N + columnsOfItem - 1) / columnsOfItem;
    if (small()) {
      const size_t items = std::min(batch, std::max<size_t>(1, batch * M * N * K / 65536));
      run.pool.run(items, [&](size_t part, size_t) {
        for (size_t item = batch * part / items; item < batch * (part + 1) / items; item++) computeSmall(run, item);
      });
      return;
    }
    if (batch > 1 && (batch >= 2 * run.pool.threads() || rowItems * columnItems == 1)) {
      // Several at a time where there are many.
      const size_t items = std::min(batch, 16 * run.pool.threads());
      run.pool.run(items, [&](size_t part, size_t thread) {
        float* own = run.own[thread].room(ownFloats(run.kernels));
        run.kernels.begin();
        for (size_t item = batch * part / items; item < batch * (part + 1) / items; item++) {
          const float* B = base(run, b, item);
          for (size_t panel = 0; panel < panels; panel++) packColumns(run, B, panel, own);
          for (size_t i = 0; i < M; i += rowsOfItem) compute(run, item, own, i, std::min(M, i + rowsOfItem), 0, N, own + packedB(run.kernels));
        }
        run.kernels.end();
      });
      return;
    }
    float* packed = run.shared.room(packedB(run.kernels));
    for (size_t item = 0; item < batch; item++) {
      const float* B = base(run, b, item);
      run.pool.run(panels, [&](size_t panel, size_t) { packColumns(run, B, panel, packed); });
      run.pool.run(rowItems * columnItems, [&](size_t i, size_t thread) {
        const size_t row = i / columnItems * rowsOfItem, column = i % columnItems * columnsOfItem;
        run.kernels.begin();
        compute(run, item, packed, row, std::min(M, row + rowsOfItem), column, std::min(N, column + columnsOfItem), run.own[thread].room(room(run.kernels)));
        run.kernels.end();
      });
    }
  }
};

}  // namespace

std::unique_ptr<const Step> readProduct(Reader& reader) {
  auto step = std::make_unique<Product>();
  step->M = size_t(reader.integer(1, INT32_MAX));
  step->N = size_t(reader.integer(1, INT32_MAX));
  step->K = size_t(reader.integer(1, INT32_MAX));
  step->alpha = float(reader.number());
  step->batchAxes = size_t(reader.integer(0, mostBatchAxes));
  for (size_t axis = 0; axis < step->batchAxes; axis++) step->batch = Reader::times(step->batch, step->dims[axis] = size_t(reader.integer(1, INT32_MAX)));
  step->hasBias = reader.integer(0, 1) == 1;
  for (Matrix2* m : {&step->a, &step->b, &step->c, &step->bias}) {
    if (m == &step->bias && !step->hasBias) break;
    m->place = reader.place();
    m->rowStride = reader.size();
    m->columnStride = reader.size();
    const size_t rows = m == &step->b ? step->K : step->M, columns = m == &step->a ? step->K : step->N;
    if (m == &step->c && m->columnStride != 1) throw badCall("the rows of a product lie apart");
    size_t reach = Reader::plus(Reader::reach(rows, m->rowStride), Reader::reach(columns, m->columnStride)) + 1;
    for (size_t axis = 0; axis < step->batchAxes; axis++) {
      m->strides[axis] = reader.size();
      reach = Reader::plus(reach, Reader::reach(step->dims[axis], m->strides[axis]));
    }
    reader.holds(m->place, reach);
  }
  return step;
}

}  // namespace parscale
