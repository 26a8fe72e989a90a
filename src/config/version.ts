/** Kept equal to package.json by a test; read here because a bundle has no package.json beside it. */
export const version = '0.1.0';
