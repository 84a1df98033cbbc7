/** Models in files: Hugging Face configs and safetensors over any source of bytes. A promised subpath: names come and go with major versions only. */
export {
  type ByteSource,
  bytesSource,
  type CheckpointFiles,
  type ModelConfig,
  type OpenCheckpoint,
  openCheckpoint,
  parseModelConfig,
  parseSafetensors,
  readF32,
  sortTensors,
} from '../checkpoint/index.ts'
