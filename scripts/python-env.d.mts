export const environments: Readonly<Record<'onnx' | 'gguf' | 'transformers' | 'torch' | 'hub' | 'law' | 'safetensors' | 'templates' | 'tensorboard', readonly string[]>>
export function pythonEnvironment(name: keyof typeof environments): string
