/**
 * Devices as data: memory, bandwidth and dense 16-bit matrix FLOP/s, as their makers state them or as follows from what they state.
 * Peak numbers; `efficiency` in device-cost.ts says how much of them is taken to be reached. Bytes are decimal for bandwidth and
 * binary for memory, as on the data sheets.
 */
import { usageError } from '../errors.ts'

/** A device as data: memory, bandwidth, matrix rate, and the source of the numbers. */
export interface Device {
  readonly name: string
  readonly title: string
  readonly kind: 'data-centre GPU' | 'consumer GPU' | 'laptop' | 'phone' | 'single-board computer' | 'server CPU' | 'measured'
  readonly memoryBytes: number
  readonly bytesPerSecond: number
  /** Of the last cache, where it was measured: its size, and how fast it is read. */
  readonly cacheBytes?: number
  readonly cacheBytesPerSecond?: number
  /** Dense 16-bit matrix products with 32-bit sums, where the maker distinguishes; no sparsity. */
  readonly flopsPerSecond: number
  /** Products with weights of at most 8 bits, where they run at another rate. Absent: as `flopsPerSecond`. */
  readonly int8OpsPerSecond?: number
  /** Where the numbers come from; for derived ones, how. */
  readonly source: string
}

const GiB = 2 ** 30

/** The devices that are known by name. */
export const devices: readonly Device[] = [
  gpu(
    'a100-80gb',
    'NVIDIA A100 SXM 80 GB',
    80,
    2039e9,
    312e12,
    'NVIDIA A100 datasheet (2021): 80 GB HBM2e, 2,039 GB/s, FP16 tensor 312 TFLOPS',
  ),
  gpu(
    'a100-40gb',
    'NVIDIA A100 SXM 40 GB',
    40,
    1555e9,
    312e12,
    'NVIDIA A100 datasheet: 40 GB HBM2, 1,555 GB/s, FP16 tensor 312 TFLOPS',
  ),
  gpu(
    'h100',
    'NVIDIA H100 SXM',
    80,
    3.35e12,
    989.4e12,
    'NVIDIA H100 datasheet: 80 GB HBM3, 3.35 TB/s, FP16 tensor 1,979 TFLOPS with sparsity, half of it dense',
  ),
  gpu(
    'h200',
    'NVIDIA H200 SXM',
    141,
    4.8e12,
    989.4e12,
    'NVIDIA H200 datasheet: 141 GB HBM3e, 4.8 TB/s, FP16 tensor 1,979 TFLOPS with sparsity, half of it dense',
  ),
  gpu(
    'mi300x',
    'AMD Instinct MI300X',
    192,
    5.3e12,
    1307.4e12,
    'AMD Instinct MI300X data sheet: 192 GB HBM3, 5.3 TB/s, FP16 matrix 1,307.4 TFLOPS',
  ),
  gpu('l40s', 'NVIDIA L40S', 48, 864e9, 362e12, 'NVIDIA L40S datasheet: 48 GB GDDR6, 864 GB/s, FP16 tensor 362.05 TFLOPS dense'),
  gpu(
    'l4',
    'NVIDIA L4',
    24,
    300e9,
    121e12,
    'NVIDIA L4 datasheet: 24 GB GDDR6, 300 GB/s, FP16 tensor 242 TFLOPS with sparsity, half of it dense',
  ),
  gpu('t4', 'NVIDIA T4', 16, 320e9, 65e12, 'NVIDIA T4 datasheet: 16 GB GDDR6, 320 GB/s, mixed precision 65 TFLOPS'),
  consumer(
    'rtx-3090',
    'NVIDIA GeForce RTX 3090',
    24,
    936e9,
    71e12,
    'NVIDIA GA102 whitepaper, Table 9: 24 GB, 936 GB/s, FP16 tensor with FP32 accumulate 71 TFLOPS dense',
  ),
  consumer(
    'rtx-4090',
    'NVIDIA GeForce RTX 4090',
    24,
    1008e9,
    165.2e12,
    'NVIDIA Ada whitepaper, Appendix A: 24 GB, 1,008 GB/s, FP16 tensor with FP32 accumulate 165.2 TFLOPS dense',
  ),
  consumer(
    'rtx-5090',
    'NVIDIA GeForce RTX 5090',
    32,
    1792e9,
    209.5e12,
    'NVIDIA RTX Blackwell whitepaper, Appendix A: 32 GB, 1,792 GB/s, FP16 tensor with FP32 accumulate 209.5 TFLOPS dense',
  ),
  {
    name: 'm1',
    title: 'Apple M1 laptop, 16 GB',
    kind: 'laptop',
    memoryBytes: 16 * GiB,
    bytesPerSecond: 68.25e9,
    flopsPerSecond: 2.6e12,
    source: 'Apple newsroom (November 2020): GPU 2.6 teraflops, taken for FP16 too; LPDDR4X-4266 on 128 bits is 68.25 GB/s',
  },
  {
    name: 'm1-max',
    title: 'Apple M1 Max laptop, 64 GB',
    kind: 'laptop',
    memoryBytes: 64 * GiB,
    bytesPerSecond: 400e9,
    flopsPerSecond: 10.4e12,
    source: 'Apple newsroom (October 2021): 400 GB/s, up to 64 GB, GPU four times the 2.6 teraflops of M1',
  },
  {
    name: 'm2',
    title: 'Apple M2 laptop, 24 GB',
    kind: 'laptop',
    memoryBytes: 24 * GiB,
    bytesPerSecond: 100e9,
    flopsPerSecond: 3.6e12,
    source: 'Apple newsroom (June 2022): 100 GB/s, up to 24 GB, GPU 3.6 teraflops, taken for FP16 too',
  },
  {
    name: 'laptop-ddr4',
    title: 'Laptop, 4 cores with AVX2, 16 GB DDR4-3200',
    kind: 'laptop',
    memoryBytes: 16 * GiB,
    bytesPerSecond: 51.2e9,
    flopsPerSecond: 358.4e9,
    source:
      'Derived: Intel Core i7-1165G7 at its base clock, 4 cores x 2.8 GHz x 2 FMA of 8 floats; two channels x 64 bits x 3,200 MT/s',
  },
  {
    name: 'snapdragon-8-gen-3',
    title: 'Phone, Snapdragon 8 Gen 3, 12 GB',
    kind: 'phone',
    memoryBytes: 12 * GiB,
    bytesPerSecond: 76.8e9,
    flopsPerSecond: 710e9,
    source:
      'Derived from Qualcomm product brief (LPDDR5x at 4,800 MHz on 64 bits; 1 x 3.3, 3 x 3.2, 2 x 3.0 GHz) and Arm guides: FP16 NEON FMA, four pipes in Cortex-X4, two in A720; small cores, GPU and NPU not counted',
  },
  {
    name: 'raspberry-pi-5',
    title: 'Raspberry Pi 5, 8 GB',
    kind: 'single-board computer',
    memoryBytes: 8 * GiB,
    bytesPerSecond: 17.07e9,
    flopsPerSecond: 307.2e9,
    source:
      'Derived from Raspberry Pi 5 product brief: LPDDR4X-4267 on 32 bits; 4 Cortex-A76 x 2.4 GHz x 2 NEON FMA of 8 half floats',
  },
  {
    name: 'epyc-9654',
    title: 'AMD EPYC 9654 server, 384 GB',
    kind: 'server CPU',
    memoryBytes: 384 * GiB,
    bytesPerSecond: 460.8e9,
    flopsPerSecond: 14.75e12,
    source:
      'Derived from AMD product page: 12 channels DDR5-4800 (460.8 GB/s); 96 cores x 2.4 GHz base x AVX-512 BF16, 64 FLOP a cycle',
  },
]

/** Throws a usage error with the known names. */
export function deviceNamed(name: string): Device {
  const found = devices.find((device) => device.name === name)
  if (found === undefined) {
    const known = devices.map((device) => device.name)
    throw usageError(`device: '${name}' is not known; choose one of ${known.join(', ')}`, {
      flag: 'device',
      expected: known,
      found: name,
    })
  }
  return found
}

function gpu(
  name: string,
  title: string,
  memoryGiB: number,
  bytesPerSecond: number,
  flopsPerSecond: number,
  source: string,
): Device {
  return { name, title, kind: 'data-centre GPU', memoryBytes: memoryGiB * GiB, bytesPerSecond, flopsPerSecond, source }
}

function consumer(...card: Parameters<typeof gpu>): Device {
  return { ...gpu(...card), kind: 'consumer GPU' }
}
