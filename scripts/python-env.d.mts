export const environments: Readonly<Record<'onnx' | 'gguf' | 'transformers' | 'hub' | 'law' | 'tensorboard', readonly string[]>>
export function pythonEnvironment(name: keyof typeof environments): string
