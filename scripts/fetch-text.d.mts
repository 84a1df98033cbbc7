export function fetchText(kind: 'text' | 'code'): string
