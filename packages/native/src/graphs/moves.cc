// Steps that move rows and elements: copies between strides, lookups and their reverse, rotation, and what is left of reductions.
#include <algorithm>
#include <array>
#include <cstring>

#include "../error.h"
#include "program.h"

namespace parscale {
namespace {

constexpr size_t mostAxes = 8;
constexpr size_t itemElements = 16384;

struct Axes {
  size_t count = 0;
  std::array<size_t, mostAxes> dims{}, from{}, to{};

  size_t size() const {
    size_t n = 1;
    for (size_t axis = 0; axis < count; axis++) n *= dims[axis];
    return n;
  }
  size_t reach(const std::array<size_t, mostAxes>& strides) const {
    size_t n = 1;
    for (size_t axis = 0; axis < count; axis++) n = Reader::plus(n, Reader::reach(dims[axis], strides[axis]));
    return n;
  }
  // Where line `line` of the innermost axis begins.
  void begin(size_t line, size_t& a, size_t& b) const {
    a = b = 0;
    for (size_t axis = count - 1; axis-- > 0; line /= dims[axis]) {
      a += line % dims[axis] * from[axis];
      b += line % dims[axis] * to[axis];
    }
  }
};

Axes readAxes(Reader& reader) {
  Axes axes;
  axes.count = size_t(reader.integer(1, mostAxes));
  for (size_t axis = 0; axis < axes.count; axis++) {
    axes.dims[axis] = size_t(reader.integer(1, INT32_MAX));
    axes.from[axis] = reader.size();
    axes.to[axis] = reader.size();
  }
  return axes;
}

template <class T>
struct Copy : Step {
  Place from, to;
  Axes axes;

  void run(const Run& run) const override {
    const T* source = run.at<const T>(from);
    T* target = run.at<T>(to);
    const size_t n = axes.dims[axes.count - 1], a = axes.from[axes.count - 1], b = axes.to[axes.count - 1], lines = axes.size() / n;
    const size_t items = std::min(lines, std::max<size_t>(1, lines * n / itemElements));
    run.pool.run(items, [&](size_t item, size_t) {
      for (size_t line = lines * item / items; line < lines * (item + 1) / items; line++) {
        size_t x, y;
        axes.begin(line, x, y);
        if (a == 1 && b == 1) std::memcpy(target + y, source + x, n * sizeof(T));
        else
          for (size_t i = 0; i < n; i++) target[y + i * b] = source[x + i * a];
      }
    });
  }
};

// Sums in the order of the elements.
struct Reduce : Step {
  Place from, to;
  Axes kept, summed;

  // Whole lines onto each other.
  void addLines(const Run& run) const {
    const size_t last = kept.count - 1, width = kept.dims[last], n = kept.size() / width;
    run.pool.run(n, [&](size_t item, size_t) {
      size_t base, out;
      kept.begin(item, base, out);
      float* target = run.at<float>(to) + out;
      std::fill_n(target, width, 0.f);
      const size_t lines = summed.size(), inner = summed.dims[summed.count - 1], stride = summed.from[summed.count - 1];
      for (size_t line = 0; line < lines; line += inner) {
        size_t at, ignored;
        summed.begin(line / inner, at, ignored);
        const float* source = run.at<const float>(from) + base + at;
        for (size_t j = 0; j < inner; j++) run.kernels.addTo(target, source + j * stride, width);
      }
    });
  }

  void run(const Run& run) const override {
    if (kept.from[kept.count - 1] == 1 && kept.to[kept.count - 1] == 1 && kept.dims[kept.count - 1] > 1) return addLines(run);
    const float* source = run.at<const float>(from);
    float* target = run.at<float>(to);
    const size_t n = kept.size(), perItem = std::max<size_t>(1, itemElements / summed.size()), items = (n + perItem - 1) / perItem;
    run.pool.run(items, [&](size_t item, size_t) {
      for (size_t i = item * perItem; i < std::min(n, (item + 1) * perItem); i++) {
        size_t base = 0, out = 0, rest = i;
        for (size_t axis = kept.count; axis-- > 0; rest /= kept.dims[axis]) {
          base += rest % kept.dims[axis] * kept.from[axis];
          out += rest % kept.dims[axis] * kept.to[axis];
        }
        const size_t last = summed.count - 1, width = summed.dims[last], lines = summed.size() / width;
        double total = 0;
        for (size_t line = 0; line < lines; line++) {
          size_t at, ignored;
          summed.begin(line, at, ignored);
          for (size_t j = 0; j < width; j++) total += source[base + at + j * summed.from[last]];
        }
        target[out] = float(total);
      }
    });
  }
};

struct SumSquares : Step {
  Place from, to;
  size_t n;

  size_t items() const { return (n + itemElements - 1) / itemElements; }
  // A double for each.
  size_t sharedFloats(const GraphKernels&) const override { return 2 * items(); }

  void run(const Run& run) const override {
    const float* source = run.at<const float>(from);
    float* partial = run.shared.room(sharedFloats(run.kernels));
    run.pool.run(items(), [&](size_t item, size_t) {
      const size_t first = item * itemElements;
      const double sum = run.kernels.sumSquares(source + first, std::min(itemElements, n - first));
      std::memcpy(partial + 2 * item, &sum, sizeof sum);
    });
    double total = 0;
    for (size_t item = 0; item < items(); item++) {
      double sum;
      std::memcpy(&sum, partial + 2 * item, sizeof sum);
      total += sum;
    }
    *run.at<float>(to) = float(total);
  }
};

// Indices are data, so they are looked at here.
struct Rows : Step {
  bool gathers;
  Place table, indices, other;
  size_t count, rows, columns;

  void run(const Run& run) const override {
    const int64_t* index = run.at<const int64_t>(indices);
    // Of a scatter every thread has columns of its own, so that sums are taken in the order of the indices.
    if (gathers) {
      const size_t perItem = std::max<size_t>(1, itemElements / columns), items = (count + perItem - 1) / perItem;
      run.pool.run(items, [&](size_t item, size_t) {
        for (size_t i = item * perItem; i < std::min(count, (item + 1) * perItem); i++) {
          float* out = run.at<float>(other) + i * columns;
          if (uint64_t(index[i]) < rows) std::memcpy(out, run.at<const float>(table) + size_t(index[i]) * columns, columns * 4);
          else run.badIndex = true;
        }
      });
      return;
    }
    const size_t items = std::min<size_t>({run.pool.threads(), columns, std::max<size_t>(1, count * columns / itemElements)});
    run.pool.run(items, [&](size_t item, size_t) {
      const size_t first = columns * item / items, last = columns * (item + 1) / items;
      for (size_t i = 0; i < count; i++)
        if (uint64_t(index[i]) >= rows) run.badIndex = true;
        else run.kernels.addTo(run.at<float>(table) + size_t(index[i]) * columns + first, run.at<const float>(other) + i * columns + first, last - first);
    });
  }
};

struct Elements : Step {
  bool gathers;
  Place table, indices, other;
  size_t rows, columns, each;

  void run(const Run& run) const override {
    const int64_t* index = run.at<const int64_t>(indices);
    float* data = run.at<float>(table);
    float* values = run.at<float>(other);
    for (size_t row = 0; row < rows; row++) {
      for (size_t j = 0; j < each; j++) {
        const size_t at = row * each + j;
        if (uint64_t(index[at]) >= columns) {
          run.badIndex = true;
          return;
        }
        float& element = data[row * columns + size_t(index[at])];
        if (gathers) values[at] = element;
        else element += values[at];
      }
    }
  }
};

struct Rotation : Step {
  Place x, cos, sin, out;
  size_t B, T, heads, D, xs[2], cs[2], ss[2];

  void run(const Run& run) const override {
    const size_t perItem = std::max<size_t>(1, itemElements / (heads * D)), lines = B * T, items = (lines + perItem - 1) / perItem;
    run.pool.run(items, [&](size_t item, size_t) {
      for (size_t line = item * perItem; line < std::min(lines, (item + 1) * perItem); line++) {
        const size_t b = line / T, t = line % T;
        const float* from = run.at<const float>(x) + b * xs[0] + t * xs[1];
        const float* c = run.at<const float>(cos) + b * cs[0] + t * cs[1];
        const float* s = run.at<const float>(sin) + b * ss[0] + t * ss[1];
        float* to = run.at<float>(out) + line * heads * D;
        for (size_t h = 0; h < heads; h++) run.kernels.rotate(from + h * D, c, s, D / 2, to + h * D);
      }
    });
  }
};

template <class T>
std::unique_ptr<const Step> readCopy(Reader& reader) {
  auto step = std::make_unique<Copy<T>>();
  step->from = reader.place();
  step->to = reader.place();
  step->axes = readAxes(reader);
  reader.holds(step->from, step->axes.reach(step->axes.from), sizeof(T));
  reader.holds(step->to, step->axes.reach(step->axes.to), sizeof(T));
  return step;
}

}  // namespace

std::unique_ptr<const Step> readMove(int64_t kind, Reader& reader) {
  switch (kind) {
    case 2:
      return reader.integer(4, 8) == 8 ? readCopy<int64_t>(reader) : readCopy<float>(reader);
    case 3:
    case 4: {
      auto step = std::make_unique<Rows>();
      step->gathers = kind == 3;
      step->table = reader.place();
      step->indices = reader.place();
      step->other = reader.place();
      step->count = reader.size();
      step->rows = reader.size();
      step->columns = size_t(reader.integer(1, INT32_MAX));
      reader.holds(step->table, Reader::times(step->rows, step->columns));
      reader.holds(step->indices, step->count, 8);
      reader.holds(step->other, Reader::times(step->count, step->columns));
      return step;
    }
    case 5:
    case 6: {
      auto step = std::make_unique<Elements>();
      step->gathers = kind == 5;
      step->table = reader.place();
      step->indices = reader.place();
      step->other = reader.place();
      step->rows = reader.size();
      step->columns = reader.size();
      step->each = reader.size();
      reader.holds(step->table, Reader::times(step->rows, step->columns));
      reader.holds(step->indices, Reader::times(step->rows, step->each), 8);
      reader.holds(step->other, Reader::times(step->rows, step->each));
      return step;
    }
    case 7: {
      auto step = std::make_unique<Rotation>();
      step->B = size_t(reader.integer(1, INT32_MAX));
      step->T = size_t(reader.integer(1, INT32_MAX));
      step->heads = size_t(reader.integer(1, INT32_MAX));
      step->D = size_t(reader.integer(2, INT32_MAX));
      const auto view = [&](Place& place, size_t* strides, size_t width) {
        place = reader.place();
        strides[0] = reader.size();
        strides[1] = reader.size();
        reader.holds(place, Reader::plus(Reader::plus(Reader::reach(step->B, strides[0]), Reader::reach(step->T, strides[1])), width));
      };
      view(step->x, step->xs, Reader::times(step->heads, step->D));
      view(step->cos, step->cs, step->D / 2);
      view(step->sin, step->ss, step->D / 2);
      step->out = reader.place();
      reader.holds(step->out, Reader::times(Reader::times(step->B, step->T), Reader::times(step->heads, step->D)));
      return step;
    }
    case 8: {
      auto step = std::make_unique<Reduce>();
      step->from = reader.place();
      step->to = reader.place();
      step->kept = readAxes(reader);
      step->summed = readAxes(reader);
      reader.holds(step->from, step->kept.reach(step->kept.from) + step->summed.reach(step->summed.from) - 1);
      reader.holds(step->to, step->kept.reach(step->kept.to));
      return step;
    }
    case 9: {
      auto step = std::make_unique<SumSquares>();
      step->from = reader.place();
      step->to = reader.place();
      step->n = reader.size();
      reader.holds(step->from, step->n);
      reader.holds(step->to, 1);
      return step;
    }
    default:
      throw badCall("the program has a step of kind " + std::to_string(kind));
  }
}

}  // namespace parscale
