export function fetchText(kind: 'text' | 'books' | 'code'): string
