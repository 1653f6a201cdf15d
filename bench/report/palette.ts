/** Colours of pages and pictures as CSS custom properties, for a light and for a dark surface. */

export const LIGHT = `
  --page: #fbfaf7; --card: #fff; --ink: #1d1c1a; --muted: #6c6a64; --grid: #e6e3dc;
  --series-1: #2a78d6; --series-2: #d9622b; --series-3: #1a9a6c;
  --series-4: #b98900; --series-5: #8a5cc9; --series-6: #c2417c; `;

export const DARK = `
  --page: #171614; --card: #201f1c; --ink: #eceae4; --muted: #a09d95; --grid: #35332f;
  --series-1: #5b9ff0; --series-2: #f0875a; --series-3: #45c493;
  --series-4: #dcb23a; --series-5: #b08ee6; --series-6: #e673a8; `;
