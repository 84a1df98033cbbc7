// Several operators over one table, block of rows by block of rows: see row-kernel.ts. What a row gets depends on no other; sums over rows
// are taken in pieces that do not depend on the number of threads.
#include <algorithm>
#include <array>

#include "../error.h"
#include "program.h"

namespace parscale {
namespace {

// Floats of a register: about ten of them fit into the first cache.
constexpr size_t registerFloats = 1024;
// Elements that are worth another thread.
constexpr size_t itemElements = 16384;
constexpr size_t mostSumItems = 32;
constexpr size_t mostAxes = 6;

struct Operand {
  enum Kind { reg, known, one } kind = known;
  uint32_t index = 0;
  float value = 0;
  Place place;
};

struct Register {
  enum From { loadFull, loadRow, loadColumns, computed } from;
  bool full;
  // Loads.
  Place place;
  size_t axes = 0;
  std::array<size_t, mostAxes> dims{}, strides{};
  bool direct = false;  // lies in memory as the table does
  // What is computed.
  Op op = Op::copy;
  Operand a, b;
  bool hasB = false;
  // Where it is kept.
  bool stored = false;
  Place store;
  // Room of its own, in floats from the thread's room on; not for what is direct or stored.
  size_t room = 0;
};

struct ColumnSum {
  uint32_t reg;
  Place sums;
};

struct RowKernel : Step {
  size_t rows, columns;
  std::vector<Register> registers;
  std::vector<ColumnSum> sums;
  // Derived.
  size_t tableRows, tableColumns;  // of the blocks: rows of any size where nothing hangs on them
  size_t blockRows, roomFloats, items;

  bool flat() const {
    if (!sums.empty()) return false;
    return std::all_of(registers.begin(), registers.end(), [](const Register& r) {
      if (r.from == Register::computed) return r.full && r.op < Op::rowSum;
      return r.from == Register::loadFull && r.direct;
    });
  }

  void plan() {
    tableRows = rows;
    tableColumns = columns;
    if (flat() && rows * columns > registerFloats) {
      // The last row may be shorter.
      tableColumns = registerFloats;
      tableRows = (rows * columns + registerFloats - 1) / registerFloats;
      blockRows = 1;
    } else {
      blockRows = std::max<size_t>(1, std::min(rows, registerFloats / std::max<size_t>(1, columns)));
    }
    // Registers take the room of those that nobody reads any more.
    std::vector<size_t> lastUse(registers.size(), 0);
    const auto use = [&](const Operand& o, size_t at) { if (o.kind == Operand::reg) lastUse[o.index] = std::max(lastUse[o.index], at); };
    for (size_t i = 0; i < registers.size(); i++) {
      if (registers[i].from != Register::computed) continue;
      use(registers[i].a, i);
      if (registers[i].hasB) use(registers[i].b, i);
    }
    for (const ColumnSum& sum : sums) lastUse[sum.reg] = SIZE_MAX;
    const size_t fullFloats = (blockRows * tableColumns + 31) / 16 * 16, rowFloats = (blockRows + 31) / 16 * 16;
    std::vector<std::pair<size_t, size_t>> freeFull, freeRow;  // (free from, offset)
    roomFloats = 0;
    // What is the same in every row is filled in before the first block, and stays.
    for (Register& r : registers) {
      if (r.from != Register::loadColumns) continue;
      r.room = roomFloats;
      roomFloats += fullFloats;
    }
    for (size_t i = 0; i < registers.size(); i++) {
      Register& r = registers[i];
      if (r.direct || r.stored || r.from == Register::loadColumns) continue;
      auto& pool = r.full ? freeFull : freeRow;
      const auto found = std::find_if(pool.begin(), pool.end(), [&](const auto& one) { return one.first < i; });
      if (found != pool.end()) {
        r.room = found->second;
        found->first = lastUse[i];
      } else {
        r.room = roomFloats;
        roomFloats += r.full ? fullFloats : rowFloats;
        pool.push_back({lastUse[i], r.room});
      }
    }
    const size_t blocks = (tableRows + blockRows - 1) / blockRows;
    const size_t wanted = std::max<size_t>(1, rows * columns / itemElements);
    items = std::min(blocks, sums.empty() ? wanted : std::min(wanted, mostSumItems));
  }

  static const float* pointer(const Run& run, const Operand& o, const float* const* at) {
    return o.kind == Operand::reg ? at[o.index] : o.kind == Operand::known ? &o.value : run.at<const float>(o.place);
  }

  void fill(const Run& run, const Register& r, size_t first, size_t count, float* room) const {
    const float* base = run.at<const float>(r.place);
    for (size_t row = 0; row < count; row++) {
      size_t rest = first + row, at = 0;
      for (size_t axis = r.axes; axis-- > 0; rest /= r.dims[axis]) at += rest % r.dims[axis] * r.strides[axis];
      if (r.from == Register::loadRow) room[row] = base[at];
      else run.kernels.unary(Op::copy, base + at, tableColumns, room + row * tableColumns);
    }
  }

  void compute(const Run& run, const Register& r, Block block, const float* const* at, float* out) const {
    const float* a = pointer(run, r.a, at);
    const auto isFull = [&](const Operand& o) { return o.kind == Operand::reg && registers[o.index].full; };
    const auto isOne = [](const Operand& o) { return o.kind != Operand::reg; };
    if (r.op >= Op::rowSum) {
      if (isFull(r.a)) return run.kernels.reduce(r.op, a, block, out);
      // The same number in every column.
      for (size_t row = 0; row < block.rows; row++) {
        const float x = isOne(r.a) ? *a : a[row];
        out[row] = r.op == Op::rowMax ? x : r.op == Op::rowSum ? x * float(block.columns) : x * x * float(block.columns);
      }
      return;
    }
    const size_t n = r.full ? block.rows * block.columns : block.rows;
    if (!r.hasB) {
      if (!isOne(r.a)) return run.kernels.unary(r.op, a, n, out);
      float x;
      run.kernels.unary(r.op, a, 1, &x);
      std::fill(out, out + n, x);
      return;
    }
    const float* b = pointer(run, r.b, at);
    if (isOne(r.a) && isOne(r.b)) {
      float x;
      run.kernels.binary(r.op, Meeting::elements, a, b, {1, 1}, &x);
      std::fill(out, out + n, x);
      return;
    }
    const Meeting meeting = isOne(r.b)                                        ? Meeting::secondOne
                            : isOne(r.a)                                      ? Meeting::firstOne
                            : !r.full || isFull(r.a) == isFull(r.b)           ? Meeting::elements
                            : isFull(r.a)                                     ? Meeting::secondRow
                                                                              : Meeting::firstRow;
    run.kernels.binary(r.op, meeting, a, b, r.full ? block : Block{1, block.rows}, out);
  }

  void runBlocks(const Run& run, size_t first, size_t last, float* room, float* partial) const {
    auto** at = reinterpret_cast<const float**>(room + roomFloats);
    for (size_t i = 0; i < registers.size(); i++) {
      const Register& r = registers[i];
      if (r.from != Register::loadColumns) continue;
      float* own = room + r.room;
      for (size_t row = 0; row < blockRows; row++) std::copy_n(run.at<const float>(r.place), columns, own + row * columns);
      at[i] = own;
    }
    for (size_t row = first; row < last; row += blockRows) {
      Block block{std::min(blockRows, last - row), tableColumns};
      const size_t start = row * tableColumns;
      if (tableColumns != columns) block.columns = std::min(tableColumns, rows * columns - start);
      for (size_t i = 0; i < registers.size(); i++) {
        const Register& r = registers[i];
        if (r.from == Register::loadColumns) continue;
        const size_t place = r.full ? start : row;
        if (r.direct) {
          at[i] = run.at<const float>(r.place) + place;
          if (r.stored) run.kernels.unary(Op::copy, at[i], r.full ? block.rows * block.columns : block.rows, run.at<float>(r.store) + place);
          continue;
        }
        float* out = r.stored ? run.at<float>(r.store) + place : room + r.room;
        if (r.from == Register::computed) compute(run, r, block, at, out);
        else fill(run, r, row, block.rows, out);
        at[i] = out;
      }
      float* sum = partial;
      for (const ColumnSum& s : sums) {
        if (registers[s.reg].full) run.kernels.columnSum(at[s.reg], block, sum);
        else
          for (size_t k = 0; k < block.rows; k++)
            for (size_t c = 0; c < columns; c++) sum[c] += at[s.reg][k];
        sum += columns;
      }
    }
  }

  // Registers, and where each of them is.
  size_t ownFloats(const GraphKernels&) const override { return roomFloats + registers.size() * sizeof(float*) / sizeof(float); }
  size_t sharedFloats(const GraphKernels&) const override { return items * sums.size() * columns; }

  void run(const Run& run) const override {
    const size_t blocks = (tableRows + blockRows - 1) / blockRows;
    float* partials = sums.empty() ? nullptr : run.shared.room(sharedFloats(run.kernels));
    run.pool.run(items, [&](size_t item, size_t thread) {
      float* partial = partials ? partials + item * sums.size() * columns : nullptr;
      if (partial) std::fill_n(partial, sums.size() * columns, 0.f);
      const size_t first = blocks * item / items * blockRows, last = std::min(tableRows, blocks * (item + 1) / items * blockRows);
      runBlocks(run, first, last, run.own[thread].room(ownFloats(run.kernels)), partial);
    });
    for (size_t s = 0; s < sums.size(); s++) {
      float* out = run.at<float>(sums[s].sums);
      std::copy_n(partials + s * columns, columns, out);
      for (size_t item = 1; item < items; item++) run.kernels.addTo(out, partials + (item * sums.size() + s) * columns, columns);
    }
  }
};

Operand readOperand(Reader& reader, size_t before) {
  Operand operand;
  operand.kind = Operand::Kind(reader.integer(0, 2));
  if (operand.kind == Operand::reg) {
    if (before == 0) throw badCall("a row kernel begins with an operand that is not there");
    operand.index = uint32_t(reader.integer(0, int64_t(before) - 1));
  }
  if (operand.kind == Operand::known) operand.value = float(reader.number());
  if (operand.kind == Operand::one) {
    operand.place = reader.place();
    reader.holds(operand.place, 1);
  }
  return operand;
}

}  // namespace

std::unique_ptr<const Step> readRowKernel(Reader& reader) {
  auto kernel = std::make_unique<RowKernel>();
  const size_t rows = kernel->rows = size_t(reader.integer(1, INT32_MAX)), columns = kernel->columns = size_t(reader.integer(1, INT32_MAX));
  const size_t count = reader.size();
  for (size_t i = 0; i < count; i++) {
    Register r{};
    r.from = Register::From(reader.integer(0, 3));
    if (r.from != Register::computed) {
      r.full = r.from != Register::loadRow;
      r.place = reader.place();
      r.axes = size_t(reader.integer(0, mostAxes));
      size_t reach = 1, covered = 1;
      for (size_t axis = 0; axis < r.axes; axis++) {
        covered = Reader::times(covered, r.dims[axis] = size_t(reader.integer(1, INT32_MAX)));
        r.strides[axis] = reader.size();
        reach = Reader::plus(reach, Reader::reach(r.dims[axis], r.strides[axis]));
      }
      if (r.from != Register::loadColumns && covered != rows && !(rows == 1 && r.axes == 0)) throw badCall("a load has other rows than its kernel");
      reader.holds(r.place, r.full ? reach - 1 + columns : reach);
      const bool lies = r.axes == 0 || (r.axes == 1 && r.strides[0] == (r.full ? columns : 1));
      r.direct = r.from != Register::loadColumns && lies;
    } else {
      r.op = Op(reader.integer(0, int64_t(Op::columnSum) - 1));
      r.a = readOperand(reader, i);
      r.hasB = reader.integer(0, 1) == 1;
      if (r.hasB) r.b = readOperand(reader, i);
      const auto full = [&](const Operand& o) { return o.kind == Operand::reg && kernel->registers[o.index].full; };
      r.full = r.op < Op::rowSum && (full(r.a) || (r.hasB && full(r.b)));
    }
    r.stored = reader.integer(0, 1) == 1;
    if (r.stored) {
      r.store = reader.place();
      reader.holds(r.store, r.full ? Reader::times(rows, columns) : rows);
    }
    kernel->registers.push_back(r);
  }
  const size_t sums = reader.size();
  for (size_t i = 0; i < sums; i++) {
    ColumnSum sum;
    sum.reg = uint32_t(reader.integer(0, int64_t(count) - 1));
    sum.sums = reader.place();
    reader.holds(sum.sums, columns);
    kernel->sums.push_back(sum);
  }
  kernel->plan();
  return kernel;
}

}  // namespace parscale
