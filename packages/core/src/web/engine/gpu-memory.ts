/** Memory of a GPU for keys and values, in buffers of our own on the device that onnxruntime-web computes on. */
import type * as Ort from 'onnxruntime-common'
import type { DeviceBlock, DeviceMemory } from '../../runtime/index.ts'

/** Invocations of a workgroup, which every device takes; and workgroups along one axis. */
const [groupSize, mostGroups] = [64, 65_535]

/**
 * One invocation for each number of a tensor [R, K, T, D]. Whether a number is finite is asked of its bits: compilers may take it that
 * floats are.
 */
const program = /* wgsl */ `
  struct Sizes { heads: u32, tokens: u32, size: u32, capacity: u32, numbers: u32, line: u32 }
  struct Row { at: u32, count: u32 }
  @group(0) @binding(0) var<uniform> sizes: Sizes;
  @group(0) @binding(1) var<storage, read> rows: array<Row>;
  @group(0) @binding(2) var<storage, read> source: array<u32>;
  @group(0) @binding(3) var<storage, read_write> place: array<u32>;
  @group(0) @binding(4) var<storage, read_write> broken: array<atomic<u32>>;

  @compute @workgroup_size(${groupSize})
  fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.y * sizes.line + id.x;
    if (i >= sizes.numbers) { return; }
    let entry = i / sizes.size;
    let token = entry % sizes.tokens;
    let head = entry / sizes.tokens;
    let r = head / sizes.heads;
    let row = rows[r];
    if (token >= row.count) { return; }
    let bits = source[i];
    let finite = (bits & 0x7f800000u) != 0x7f800000u;
    if (!finite) {
      atomicStore(&broken[0], 1u);
      atomicStore(&broken[1u + r], 1u);
    }
    place[(head * sizes.capacity + row.at + token) * sizes.size + i % sizes.size] = select(0u, bits, finite);
  }
`

class GpuBlock implements DeviceBlock {
  readonly buffer: GPUBuffer
  readonly #device: GPUDevice
  readonly #ort: typeof Ort

  constructor(device: GPUDevice, ort: typeof Ort, elements: number) {
    this.#device = device
    this.#ort = ort
    this.buffer = device.createBuffer({ size: rounded(4 * elements), usage: storage })
  }

  write(at: number, values: Float32Array): void {
    this.#device.queue.writeBuffer(this.buffer, 4 * at, values as Float32Array<ArrayBuffer>)
  }

  tensor(dims: readonly number[]): Ort.Tensor {
    return this.#ort.Tensor.fromGpuBuffer(this.buffer as unknown as Ort.Tensor.GpuBufferType, { dataType: 'float32', dims })
  }

  free(): void {
    this.buffer.destroy()
  }
}

/** GPUBufferUsage, which is not there where there is no GPU: MAP_READ, COPY_SRC, COPY_DST, UNIFORM, STORAGE. */
const [mapRead, copySrc, copyDst, uniform, storageOnly] = [1, 4, 8, 64, 128] as const
const storage = storageOnly | copySrc | copyDst
/** The engine copies whole sixteens. */
const rounded = (bytes: number): number => 16 * Math.ceil(Math.max(1, bytes) / 16)

export function gpuMemory(device: GPUDevice, ort: typeof Ort): DeviceMemory {
  let pipeline: GPUComputePipeline | undefined
  const bufferOf = (values: Uint32Array<ArrayBuffer>, usage: number): GPUBuffer => {
    const buffer = device.createBuffer({ size: rounded(values.byteLength), usage: usage | copyDst })
    device.queue.writeBuffer(buffer, 0, values)
    return buffer
  }
  return {
    allocate: (elements) => new GpuBlock(device, ort, elements),
    copy(copies) {
      const encoder = device.createCommandEncoder()
      for (const { from, at, to, place, count } of copies)
        encoder.copyBufferToBuffer((from as GpuBlock).buffer, 4 * at, (to as GpuBlock).buffer, 4 * place, 4 * count)
      device.queue.submit([encoder.finish()])
    },
    async append(parts, capacity, rows) {
      const [R, K, T, D] = parts[0]!.from.dims as [number, number, number, number]
      const numbers = R * K * T * D
      const across = Math.min(mostGroups, Math.ceil(numbers / groupSize))
      const down = Math.ceil(numbers / groupSize / across)
      pipeline ??= device.createComputePipeline({
        layout: 'auto',
        compute: { module: device.createShaderModule({ code: program }), entryPoint: 'main' },
      })
      const size = 4 * (1 + R)
      const sizes = bufferOf(Uint32Array.of(K, T, D, capacity, numbers, across * groupSize), uniform)
      const places = bufferOf(Uint32Array.from(rows.flatMap(({ at, count }) => [at, count])), storageOnly)
      const broken = device.createBuffer({ size, usage: storageOnly | copySrc })
      const read = device.createBuffer({ size, usage: mapRead | copyDst })
      try {
        const encoder = device.createCommandEncoder()
        const pass = encoder.beginComputePass()
        pass.setPipeline(pipeline)
        for (const { from, to } of parts) {
          const source = from.gpuBuffer as unknown as GPUBuffer
          const buffers = [sizes, places, source, (to as GpuBlock).buffer, broken]
          const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }))
          pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }))
          pass.dispatchWorkgroups(across, down)
        }
        pass.end()
        encoder.copyBufferToBuffer(broken, 0, read, 0, size)
        device.queue.submit([encoder.finish()])
        await read.mapAsync(mapRead)
        const [any, ...flags] = new Uint32Array(read.getMappedRange())
        return new Set(any === 0 ? [] : flags.flatMap((flag, r) => (flag === 0 ? [] : [r])))
      } finally {
        for (const buffer of [sizes, places, broken, read]) buffer.destroy()
      }
    },
  }
}
