/** A straight line through measured points, by least squares. */

/** A measured point. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/** Growth per unit of x, and the standard error of that: the points may lie about the line. */
export interface Slope {
  readonly slope: number;
  readonly error: number;
}

/** The slope of three points or more with different x; of fewer nothing is known. */
export function slopeOf(points: readonly Point[]): Slope {
  const count = points.length;
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / count;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / count;
  const spread = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (count < 3 || spread === 0) return { slope: 0, error: Infinity };
  const slope = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0) / spread;
  const left = points.reduce((sum, { x, y }) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  return { slope, error: Math.sqrt(left / (count - 2) / spread) };
}
