/**
 * Names that people know from other tools, and what to type here instead. Read only when a command line was refused.
 * From ollama, llama.cpp, transformers, vLLM, mlx-lm, LM Studio (lms) and Hugging Face's own command.
 */

export interface ForeignCommand {
  readonly names: readonly string[]
  /** The tools that have it. */
  readonly from: string
  readonly instead: string
}

export const foreignCommands: readonly ForeignCommand[] = [
  {
    names: ['run', 'llama-cli', 'cli', 'repl', 'interactive', 'talk'],
    from: 'ollama, llama.cpp',
    instead: 'parscale chat MODEL talks with a model, parscale generate MODEL --prompt TEXT continues a text',
  },
  {
    names: ['complete', 'completion-cli', 'llama-simple', 'mlx_lm.generate', 'predict-text', 'infer', 'inference'],
    from: 'vLLM, llama.cpp, mlx-lm',
    instead: 'parscale generate MODEL --prompt TEXT continues a text',
  },
  {
    names: ['list', 'ls', 'tags', 'scan-cache'],
    from: 'ollama, lms, hf',
    instead: 'parscale models lists the published checkpoints, parscale cache list what was made of models and kept',
  },
  {
    names: ['rm', 'remove', 'delete', 'delete-cache', 'prune', 'clean'],
    from: 'ollama, hf',
    instead:
      "parscale cache remove NAME --yes removes what was made of models; models of the hub are Hugging Face's: hf cache delete",
  },
  {
    names: ['show', 'info', 'describe', 'gguf-dump', 'ls-tensors'],
    from: 'ollama',
    instead: 'parscale inspect MODEL shows what a model is',
  },
  {
    names: ['ps', 'stop', 'unload', 'load', 'kill'],
    from: 'ollama, lms',
    instead: 'nothing to do: a model is loaded while a command runs, and no longer',
  },
  {
    names: ['get', 'download', 'fetch', 'clone', 'install'],
    from: 'lms, hf, llama.cpp',
    instead: 'parscale pull ORG/NAME downloads a model of the hub',
  },
  {
    names: ['push', 'upload', 'cp', 'create', 'import'],
    from: 'ollama, hf, lms',
    instead: 'a model is a folder or a file: copy it, or parscale convert SOURCE TARGET',
  },
  { names: ['search', 'find', 'available'], from: 'hf', instead: 'parscale models WORD searches the published checkpoints' },
  {
    names: ['login', 'logout', 'whoami', 'auth', 'signin'],
    from: 'ollama, hf',
    instead: 'set HF_TOKEN, or use hf auth login; parscale pull reads its token',
  },
  {
    names: ['serve', 'server', 'start', 'llama-server', 'api', 'mlx_lm.server'],
    from: 'ollama, vLLM, llama.cpp, mlx-lm',
    instead: 'this version has no server; the library answers requests in your own program (docs/library.md)',
  },
  {
    names: ['quantise', 'llama-quantize', 'quant', 'awq', 'gptq'],
    from: 'llama.cpp',
    instead: 'parscale quantize MODEL --bits 8 --out FOLDER; or run with --bits 8, which keeps what it makes',
  },
  {
    names: ['perplexity', 'ppl', 'llama-perplexity', 'eval', 'evaluate', 'lm_eval'],
    from: 'llama.cpp, lm-eval',
    instead: 'parscale score MODEL --file TEXT gives perplexity',
  },
  {
    names: ['benchmark', 'llama-bench', 'speed', 'throughput'],
    from: 'llama.cpp, vLLM',
    instead: 'parscale bench MODEL measures speed and memory',
  },
  {
    names: ['finetune', 'fine-tune', 'lora', 'tune', 'sft', 'pretrain', 'recycle', 'two-stage'],
    from: 'mlx-lm, llama.cpp, TRL',
    instead: 'parscale train RECIPE, which is pretrain, two-stage, recycle or sft',
  },
  {
    names: ['fuse', 'merge', 'merge-lora'],
    from: 'mlx-lm',
    instead: 'parscale export RUN --merge --out FOLDER puts streams and backbone together',
  },
  {
    names: ['convert-hf-to-gguf', 'convert_hf_to_gguf.py', 'to-safetensors', 'dequantize'],
    from: 'llama.cpp',
    instead: 'parscale convert SOURCE TARGET writes safetensors; GGUF is read, not written',
  },
  { names: ['version', 'env'], from: 'ollama, hf', instead: 'parscale --version' },
  {
    names: ['tokenize', 'llama-tokenize', 'detokenize', 'embed', 'embedding', 'rerank'],
    from: 'llama.cpp, vLLM',
    instead: 'there is no such command; parscale score MODEL --text TEXT --json shows token ids',
  },
  {
    names: ['config', 'settings'],
    from: 'many',
    instead: 'docs/configuration.md says where the configuration file lies and what it may hold',
  },
]

export interface ForeignFlag {
  readonly names: readonly string[]
  readonly from: string
  /** Ours, the first one that the command has. */
  readonly flags?: readonly string[]
  /** Commands that have it, where the one that was asked has not. */
  readonly at?: readonly string[]
  /** Instead of a flag, or behind it. */
  readonly note?: string
}

const answering = ['generate', 'chat']
export const foreignFlags: readonly ForeignFlag[] = [
  {
    names: [
      '-n',
      '--n-predict',
      '--predict',
      '--num-predict',
      '--max-new-tokens',
      '--max-length',
      '--max-completion-tokens',
      '--max-tok',
      '--length',
    ],
    from: 'llama.cpp, ollama, transformers, mlx-lm',
    flags: ['--max-tokens'],
    at: answering,
  },
  { names: ['--temp', '--temprature', '-T'], from: 'llama.cpp, mlx-lm', flags: ['--temperature'], at: answering },
  { names: ['--topk', '-k'], from: 'others', flags: ['--top-k'], at: answering },
  { names: ['--topp', '--nucleus'], from: 'others', flags: ['--top-p'], at: answering },
  {
    names: ['--repeat-penalty', '--rep-pen', '--repetition-pen'],
    from: 'llama.cpp, ollama',
    flags: ['--repetition-penalty'],
    at: answering,
  },
  {
    names: ['-p', '--prompt', '--text', '--input', '--query', '-q', '--prompts', '--message', '-e'],
    from: 'llama.cpp, transformers',
    flags: ['--prompt', '--message', '--text', '--data'],
    at: ['generate'],
    note: '--p is the number of streams',
  },
  {
    names: ['-f', '--prompt-file', '--in-file', '--input-file'],
    from: 'llama.cpp',
    flags: ['--file', '--data'],
    at: ['generate', 'score'],
  },
  {
    names: ['-m', '--model', '--model-path', '--model-id', '--hf-path', '--repo'],
    from: 'llama.cpp, mlx-lm, vLLM, transformers',
    flags: ['--model'],
    note: 'the model is named without a flag: parscale COMMAND MODEL',
  },
  {
    names: ['-t', '--num-threads', '--n-threads', '--num-thread', '--threads-batch', '-tb', '-j', '--jobs'],
    from: 'llama.cpp, ollama',
    flags: ['--threads'],
    at: answering,
  },
  {
    names: ['-c', '--ctx-size', '--ctx', '--num-ctx', '--n-ctx', '--max-model-len', '--context-length', '--context'],
    from: 'llama.cpp, ollama, vLLM, lms',
    flags: ['--context', '--sequence-length'],
    note: "the context is the model's own and grows as it is needed; nothing has to be set",
  },
  { names: ['-s', '--random-seed'], from: 'llama.cpp', flags: ['--seed'], at: answering },
  {
    names: ['-sys', '--system', '--system-prompt', '--sys', '--system-message'],
    from: 'llama.cpp, mlx-lm',
    flags: ['--system'],
    at: ['chat'],
  },
  {
    names: ['-r', '--reverse-prompt', '--stop-sequences', '--stop-strings', '--stop-words', '--eos', '--stop-token'],
    from: 'llama.cpp, transformers',
    flags: ['--stop'],
    at: answering,
  },
  {
    names: ['--do-sample', '--greedy', '--no-sample'],
    from: 'transformers',
    flags: ['--temperature'],
    at: answering,
    note: '0 is greedy, above 0 samples',
  },
  {
    names: ['--num-beams', '--beam-size', '--beam-width', '--n-beams'],
    from: 'transformers, vLLM',
    flags: ['--beams'],
    at: ['generate'],
  },
  {
    names: ['--num-return-sequences', '--best-of'],
    from: 'transformers, vLLM',
    flags: ['--prompt'],
    at: ['generate'],
    note: 'repeat it for several texts at once',
  },
  {
    names: ['--logprobs', '--n-probs', '--output-scores'],
    from: 'vLLM, llama.cpp, transformers',
    flags: ['--json'],
    at: ['generate'],
    note: 'it prints the log-probability of each token',
  },
  { names: ['--format', '--output-format', '-o json', '--jsonl-output'], from: 'ollama', flags: ['--json'], at: answering },
  { names: ['--logits-all', '--all-logits', '--return-logits'], from: 'llama.cpp', flags: ['--logits'], at: ['score'] },
  {
    names: [
      '-ngl',
      '--gpu-layers',
      '--n-gpu-layers',
      '--num-gpu',
      '--gpu',
      '--cuda',
      '--webgpu',
      '--metal',
      '--backend',
      '--accelerator',
    ],
    from: 'llama.cpp, ollama, lms',
    flags: ['--device'],
    at: answering,
    note: 'cpu, webgpu or cuda',
  },
  { names: ['--cpu', '--no-gpu'], from: 'others', flags: ['--device'], at: answering, note: 'cpu is the default' },
  {
    names: ['-ctk', '-ctv', '--cache-type-k', '--cache-type-v', '--kv-cache-dtype', '--kv-bits', '--kv-type'],
    from: 'llama.cpp, vLLM, mlx-lm',
    flags: ['--kv', '--kv-bits'],
    at: answering,
  },
  {
    names: [
      '--quantization',
      '--quantize',
      '--load-in-4bit',
      '--load-in-8bit',
      '--q-bits',
      '--dtype',
      '--torch-dtype',
      '--precision',
      '-q4',
      '--int8',
      '--int4',
    ],
    from: 'vLLM, transformers, mlx-lm',
    flags: ['--bits', '--dtype'],
    at: answering,
    note: '8 or 4',
  },
  {
    names: ['--num-streams', '--streams-count', '--n-streams', '--parscale-n', '-P', '--parallel', '-np', '--num-parallel'],
    from: 'ParScale, llama.cpp',
    flags: ['--p', '--streams'],
    at: answering,
    note: 'the number of parallel streams',
  },
  {
    names: ['--lora', '--adapter', '--adapter-path', '--lora-modules'],
    from: 'llama.cpp, mlx-lm, vLLM',
    flags: ['--stream-set'],
    at: answering,
    note: 'streams that were trained for the model',
  },
  {
    names: ['-i', '-it', '--interactive', '-cnv', '--conversation', '--chat', '--instruct'],
    from: 'llama.cpp',
    note: 'parscale chat MODEL talks',
  },
  {
    names: [
      '--chat-template',
      '--chat-template-file',
      '--jinja',
      '--no-chat-template',
      '--ignore-chat-template',
      '--use-default-chat-template',
    ],
    from: 'llama.cpp, mlx-lm',
    note: "parscale chat uses the model's own template, parscale generate none",
  },
  {
    names: ['--stream', '--no-stream', '--no-display-prompt', '--simple-io', '--echo'],
    from: 'llama.cpp, vLLM',
    note: 'text comes as it is made, without the prompt; leave it out',
  },
  {
    names: [
      '--typical',
      '--typical-p',
      '--mirostat',
      '--mirostat-ent',
      '--dynatemp-range',
      '--tfs',
      '--xtc-probability',
      '--dry-multiplier',
      '--grammar',
      '--json-schema',
    ],
    from: 'llama.cpp, ollama',
    note: 'there is no such sampler; there are --temperature, --top-k, --top-p, --min-p, penalties and --logit-bias',
  },
  {
    names: ['--keep-alive', '--keepalive', '--ttl', '--mlock', '--no-mmap', '--numa'],
    from: 'ollama, llama.cpp, lms',
    note: 'weights are mapped while a command runs, and no longer; leave it out',
  },
  {
    names: ['-b', '-ub', '--ubatch-size', '--batch', '--n-batch'],
    from: 'llama.cpp',
    flags: ['--batch', '--batch-size'],
    note: 'prompts that are given together are computed together; leave it out',
  },
  {
    names: ['--flash-attn', '-fa', '--attn-implementation', '--use-cache', '--enable-prefix-caching', '--compile'],
    from: 'llama.cpp, transformers, vLLM',
    note: 'there is one way to compute attention, with a cache; leave it out',
  },
  { names: ['--trust-remote-code'], from: 'transformers, vLLM', note: 'no code of a model is ever run; leave it out' },
  {
    names: ['--token', '--hf-token', '--api-key', '--auth'],
    from: 'hf, vLLM',
    note: 'set HF_TOKEN; a token does not belong on a command line',
  },
  {
    names: ['-hf', '--hf-repo', '--hf-file', '--from-hub'],
    from: 'llama.cpp',
    note: 'parscale pull ORG/NAME downloads, then name it as the MODEL',
  },
  {
    names: ['--host', '--port', '--listen'],
    from: 'vLLM, llama.cpp',
    note: 'this command listens to nobody',
  },
  {
    names: ['--tensor-parallel-size', '-tp', '--gpu-memory-utilization', '--num-gpus', '--gpus'],
    from: 'vLLM',
    flags: ['--gpus'],
    note: 'a model runs on one device; leave it out',
  },
  {
    names: ['--cache-dir', '--cache', '--download-dir', '--local-dir'],
    from: 'hf, transformers, vLLM',
    note: 'set HF_HUB_CACHE for models of the hub, PARSCALE_CACHE for what is made of them',
  },
  { names: ['--offline', '--local-files-only'], from: 'transformers', note: 'set HF_HUB_OFFLINE=1' },
  {
    names: ['-o', '--output', '--output-dir', '--outfile', '--save-dir', '--save-path', '--target'],
    from: 'llama.cpp, transformers, mlx-lm',
    flags: ['--out', '--plot'],
    at: ['train', 'export', 'quantize'],
    note: 'results go to stdout: > FILE',
  },
  {
    names: ['-l', '--lr', '--learning-rate-max', '--max-lr'],
    from: 'nanoGPT, mlx-lm',
    flags: ['--learning-rate'],
    at: ['train'],
  },
  {
    names: [
      '--epochs',
      '--num-train-epochs',
      '--n-epochs',
      '--iters',
      '--max-iters',
      '--max-steps',
      '--num-steps',
      '--iterations',
    ],
    from: 'transformers, mlx-lm, nanoGPT',
    flags: ['--steps'],
    at: ['train'],
    note: 'or --train-tokens, the same in tokens',
  },
  {
    names: ['--block-size', '--seq-len', '--seq-length', '--max-seq-length', '--max-seq-len'],
    from: 'nanoGPT, mlx-lm, TRL',
    flags: ['--sequence-length', '--block-size'],
    at: ['train'],
  },
  {
    names: ['--gradient-accumulation-steps', '--grad-accum', '--grad-accumulation-steps'],
    from: 'transformers, nanoGPT',
    flags: ['--micro-batches'],
    at: ['train'],
  },
  {
    names: ['--per-device-train-batch-size', '--micro-batch-size', '--bs', '--device-batch-size'],
    from: 'transformers, nanochat',
    flags: ['--batch-size'],
    at: ['train'],
  },
  {
    names: ['--warmup', '--warmup-iters', '--warmup-ratio', '--num-warmup-steps'],
    from: 'transformers, nanoGPT',
    flags: ['--warmup-steps'],
    at: ['train'],
  },
  { names: ['--wd', '--weight-decay-rate'], from: 'others', flags: ['--weight-decay'], at: ['train'] },
  {
    names: ['--save-every', '--save-steps', '--save-interval', '--checkpoint-interval'],
    from: 'mlx-lm, transformers',
    flags: ['--checkpoint-every'],
    at: ['train'],
  },
  {
    names: ['--eval-every', '--eval-steps', '--eval-interval', '--steps-per-eval', '--val-interval'],
    from: 'mlx-lm, transformers, nanoGPT',
    flags: ['--evaluate-every'],
    at: ['train'],
  },
  {
    names: ['--logging-steps', '--log-interval', '--steps-per-report'],
    from: 'transformers, nanoGPT, mlx-lm',
    flags: ['--log-every'],
    at: ['train'],
  },
  {
    names: ['--resume-from-checkpoint', '--resume-from', '--init-from', '--continue'],
    from: 'transformers, nanoGPT',
    flags: ['--resume'],
    at: ['train'],
  },
  {
    names: ['--dataset', '--train-file', '--training-data', '--train-data', '-d'],
    from: 'transformers, mlx-lm',
    flags: ['--data', '--dataset'],
    at: ['train'],
  },
  {
    names: ['--n-layer', '--num-layers', '--num-hidden-layers', '--depth'],
    from: 'nanoGPT, transformers',
    flags: ['--layers'],
    at: ['train'],
  },
  {
    names: ['--n-head', '--num-heads', '--num-attention-heads'],
    from: 'nanoGPT, transformers',
    flags: ['--heads'],
    at: ['train'],
  },
  {
    names: ['--n-embd', '--d-model', '--embed-dim', '--dim', '--width'],
    from: 'nanoGPT, transformers',
    flags: ['--hidden-size', '--hidden'],
    at: ['train'],
  },
  {
    names: ['--force', '--overwrite', '-y', '--yes', '--overwrite-output-dir'],
    from: 'many',
    flags: ['--yes'],
    note: 'nothing is overwritten; name another target, or remove it first',
  },
  { names: ['-v', '--debug', '--log-level', '--trace', '--verbose-prompt'], from: 'many', flags: ['--verbose'] },
  { names: ['--silent', '-s', '--log-disable', '--no-progress', '--disable-progress-bar'], from: 'many', flags: ['--quiet'] },
  { names: ['--color', '--no-color', '--colors'], from: 'llama.cpp', note: 'set NO_COLOR=1 or FORCE_COLOR=1' },
  { names: ['-V'], from: 'many', flags: ['--version'], note: 'parscale --version' },
  { names: ['--revision', '--branch', '--tag'], from: 'transformers', flags: ['--revision'], at: ['pull'] },
]
